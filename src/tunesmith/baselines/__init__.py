"""Cheap ways to do a task, which adapting has to beat; one file a way."""
