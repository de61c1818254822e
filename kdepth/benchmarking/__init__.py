"""How fast a network is, and what it takes: latency, memory, size and energy of exported files and of their model.

Whatever is measured runs in a process of its own (`worker`, opened by `process`), so its peak
memory is its own and no library's threads disturb another's. The parent never imports TensorFlow:
exported `.tflite` and `.onnx` files are measured where only their interpreter is installed.
"""
