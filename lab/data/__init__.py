"""Text in, tokens out, batches to the model: corpora, tokenizers, prepared token files, the order in which they are read."""
