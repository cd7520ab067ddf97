"""Record from the microphone until told to stop: the child process of the capture tests.

    record.py FILE OPTIONS    samples go to FILE as float32, events to stdout as JSON lines

A process of its own, because PortAudio reads its settings once, and because one that hangs in it
can only be left by `os._exit`.
"""

import faulthandler
import json
import os
import sys
import threading
import time
from typing import Any

from parakeet_coreml.audio.devices import list_devices
from parakeet_coreml.audio.microphone import Microphone
from parakeet_coreml.errors import ParakeetError


def tell(event: str, **values: Any) -> None:
    line = json.dumps({"event": event, **values}) + "\n"
    os.write(1, line.encode())


def hog() -> None:
    """Hold the interpreter lock as much as a thread can."""
    while True:
        sum(range(10_000))


def stop_at_line(mic: Microphone) -> None:
    sys.stdin.readline()
    mic.stop()


def warn(code: str, text: str) -> None:
    tell("warn", code=code, text=text)


def record(path: str, device: str | None, hogs: int, timeouts: dict[str, Any]) -> None:
    mic = Microphone(device, warn=warn, **timeouts)
    opened = time.monotonic()
    try:
        mic.open()
        tell("open", rate=mic.rate, name=mic.name, numpy="numpy" in sys.modules)
        for _ in range(hogs):
            threading.Thread(target=hog, daemon=True).start()
        threading.Thread(target=stop_at_line, args=(mic,), daemon=True).start()
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123  pathlib would load more
            total = 0
            for block in mic.blocks():
                if not total:
                    tell("sound")
                total += len(block)
                file.write(block.tobytes())
        tell("stopped")
    except ParakeetError as error:
        tell("error", name=error.name, text=error.message, seconds=time.monotonic() - opened)
    closing = time.monotonic()
    mic.close()
    mic.close()
    tell(
        "end",
        close_seconds=time.monotonic() - closing,
        lost=mic.lost_samples,
        threads=[t.name for t in threading.enumerate() if t.name.startswith("microphone")],
    )


def main() -> None:
    faulthandler.dump_traceback_later(120, exit=True)
    options = json.loads(sys.argv[2])
    if options.pop("list", False):
        devices = [[d.index, d.name, d.host_api, d.is_default] for d in list_devices()]
        tell("devices", devices=devices)
    else:
        record(
            sys.argv[1],
            options.pop("device", None),
            options.pop("hogs", 0),
            options,
        )
    os.write(2, b"good-bye\n")
    os._exit(0)


main()
