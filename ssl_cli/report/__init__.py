"""`ssl report`: one page about a run or a sweep."""
