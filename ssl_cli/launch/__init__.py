"""One process or many, here or elsewhere: who starts whom, and who says what failed."""
