# What `import parakeet_coreml` offers; `__init__.py` loads it when it is asked for.
from parakeet_coreml.dictation import Dictation as Dictation
from parakeet_coreml.dictation import DictationError as DictationError
from parakeet_coreml.dictation import Event as Event
from parakeet_coreml.dictation import dictate as dictate

__version__: str
