"""What the smsgateway wire is made of, too long for its one file: JSON bodies and request forms."""
