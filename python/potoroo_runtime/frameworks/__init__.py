"""One file per framework. Adding a file adds a framework; nothing else lists them."""
