"""One file per wire API: its facts, then ``Adapter`` (we call them), then ``Dialect`` (we are called).

A file put here is a provider kind; ``registry`` finds it. docs/adding-a-provider.md says how to write one.
"""
