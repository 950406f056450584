"""The domain: one file, one stage, one config group, one folder in the store; nouns that stages share beside them."""
