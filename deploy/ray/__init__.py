"""The site's engine as an application of Ray Serve, with OpenAI's interface. How to use it: docs/scaling.md."""
