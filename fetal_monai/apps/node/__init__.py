"""A DICOM node: takes ultrasound by C-STORE, reports each study, sends the report on. `fetal-monai node --help`.

    server   associations: who may connect, what is accepted, which status is answered
    inbox    objects on disk, whole and synced before their sender is told so
    queue    what is known of objects, studies and reports, in one SQLite file; what a status page reads
    worker   studies that have become quiet are predicted in a process of their own
    delivery reports to their destination, until they are there

See docs/node.md. Importing this package needs neither pynetdicom nor torch.
"""
