"""Where a host calls us: translate, call, translate back."""
