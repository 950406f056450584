"""The domain: one file, one stage, one config group, one folder in the store; rooms hold the nouns they share."""
