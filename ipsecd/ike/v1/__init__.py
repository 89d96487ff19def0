"""IKEv1 (RFC 2409): what differs from IKEv2 stands here and in the modules of ``wire`` and ``crypto`` named for it."""
