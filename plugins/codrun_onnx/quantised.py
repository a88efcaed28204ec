"""An ONNX file in int8, by ONNX Runtime's own quantiser.

Weights of matrix products are rounded per output channel, activations per tensor while the model runs; of a small
encoder the embedding table is most of the file, so it is rounded as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cod_runner.api import CodrunError

OPERATORS = ("MatMul", "Gather")


def write_int8(source: Path, path: Path, *, full_range: bool) -> None:
    """Quantise ``source`` into ``path``. With 7 bits (not ``full_range``) no sum of products overflows the 16 bits in
    which x86 processors without VNNI add them. Raises :class:`CodrunError`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name("prepared.onnx")
    try:
        with _quiet():
            quant_pre_process(source, prepared, skip_symbolic_shape=True)  # the sizes are symbols: nothing to infer
            quantize_dynamic(
                prepared,
                path,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                reduce_range=not full_range,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
    except (RuntimeError, ValueError, TypeError) as error:
        cause = " ".join(str(error).split())[:300]
        raise CodrunError(f"ONNX Runtime cannot quantise this student ({cause}); export it without int8") from error
    finally:
        prepared.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to prepare the model, which is prepared."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
