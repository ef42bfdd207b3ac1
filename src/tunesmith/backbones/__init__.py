"""Pretrained networks; one file a modality."""
