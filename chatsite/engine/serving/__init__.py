"""The server's side of OpenAI's chat completions: what a request means, and what is sent back for an engine's events.

Plain Python without a web framework, so that whatever serves HTTP can use it (deploy/ray does). The form is that of
https://platform.openai.com/docs/api-reference/chat, with the sampling options that vLLM adds.
"""
