"""What NVFlare's job carries to a site: this script. All that runs is the site's own installation."""

import runpy

if __name__ == "__main__":
    runpy.run_module("fetal_monai.federated.site", run_name="__main__")  # an import would send the module along
