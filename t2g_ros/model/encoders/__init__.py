"""The frozen and trained encoders behind one seam, `base.Encoder`; only this folder knows `transformers`' classes."""
