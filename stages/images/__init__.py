"""Images: files, decoding, orientation, preprocessing, augmentation and batches."""
