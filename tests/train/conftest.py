"""The tiny run that the training tests share."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def tiny():
  """The module tiny_run.py, which tests also start as a process."""
  path = pathlib.Path(__file__).with_name("tiny_run.py")
  spec = importlib.util.spec_from_file_location("tiny_run", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
