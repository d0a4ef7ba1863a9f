"""Necks: modules between an encoder and a head."""

from .tinet import TINet

__all__ = ['TINet']
