"""Files and folders that the user names, and the interface files of the kernel."""
