"""What all components share: the image that they run in, which has shoplens and its locked dependencies installed."""

from functools import partial

from kfp import dsl

IMAGE = "shoplens:0.1.0"

component = partial(dsl.component, base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
