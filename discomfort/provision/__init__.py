"""What a plan lacks is fetched and installed, with consent: models, node packs."""
