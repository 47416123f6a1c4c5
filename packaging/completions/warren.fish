complete --keep-order --exclusive --command warren --arguments "(WARREN_COMPLETE=fish warren -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
