"""The classes that a model of the framework `custom` (bring your own predict) extends."""
