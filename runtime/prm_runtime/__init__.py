"""Run a prm-edge bundle on pictures, video and cameras, or inside another program."""
