"""Downloads: resumed, checked, unpacked and kept in the cache directory."""
