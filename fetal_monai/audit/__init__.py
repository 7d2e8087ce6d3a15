"""Does a model look at the anatomy, or at what stands around it on the screen?"""
