"""Predictions of folders of any size: Ray Data spreads the files over workers, which write Parquet, part by part.

It needs Ray: `pip install 'fetal_monai[ray]'`.
"""
