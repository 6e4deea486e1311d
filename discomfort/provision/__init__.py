"""The models and node packs that a plan lacks are fetched and installed, with consent."""
