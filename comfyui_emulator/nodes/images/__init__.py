"""Images and masks: loading, saving, scaling, filtering, compositing."""
