"""The Python side of NeuronQuant: it talks to neuronx_distributed_inference and to nothing else.

Plain functions, JSON in and JSON out. Only the standard library is imported until a function needs NxD Inference, so that the report on the
environment works where nothing is installed. Python 3.10 to 3.12.

  python -m neuron_bridge      reads one request a line, answers in lines; see protocol.py
"""
