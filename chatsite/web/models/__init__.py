"""Pages about models, and the model picker."""
