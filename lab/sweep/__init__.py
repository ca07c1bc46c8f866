"""Many runs from one command: planned whole, checked before the first starts, one fresh process each. No torch."""
