package web

// Sheet returns the sheet of the pages, for pages that are files of their own.
func Sheet() string { return sheet }
