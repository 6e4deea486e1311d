"""Values of a program, kept between runs: how they are encoded, where they are stored, and who removes them.

The modules that ComfyUI's process needs too (``codecs`` ``trees`` ``arrays`` ``tensors`` ``pictures`` ``layout``
``blobs``) import the standard library, numpy and, relative to themselves, the errors only. They work on Python 3.10.
"""
