"""Files and folders as the user names them: read, written and walked without a surprise."""
