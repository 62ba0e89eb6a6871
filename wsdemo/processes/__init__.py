"""What runs beside the notebook, and how it is spoken to. For `serve`, `measure`, `live` and the command line alone.

Lessons start servers through `serve.Server` and clients through `measure`; they need nothing from here.
"""
