"""From frames to the answer for a study: clips, key frames, checklists of protocols."""
