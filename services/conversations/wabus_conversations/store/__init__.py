"""The store of media: objects by their keys, in a local folder or at S3, Google Cloud Storage or Azure."""
