"""Turn one Parakeet TDT checkpoint into every form the backends load.

The checkpoint is a folder in the layout of `transformers`: `config.json`, `model.safetensors`, and
the pieces in `tokenizer.json` or a SentencePiece `*.model`. One command for each form:

    python -m models.convert.coreml CHECKPOINT OUT [--weights fp16|palettized6|palettized8|int8]
    python -m models.convert.onnx   CHECKPOINT OUT [--int8]
    python -m models.convert.mlx    CHECKPOINT OUT

`requirements.txt` beside this names the versions.
What is already there is kept, so that a run that was cut short goes on where it stopped.
"""
