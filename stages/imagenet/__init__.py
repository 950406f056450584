"""ImageNet: the names of its classes, and a photo whose class every ImageNet network recognizes."""
