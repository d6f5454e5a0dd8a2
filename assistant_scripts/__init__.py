"""Assistants, managed beside a running server, which picks up what was changed between two turns.

    python -m assistant_scripts.create_assistant FILE --stage dev
    python -m assistant_scripts.update_assistant FILE --stage dev
    python -m assistant_scripts.promote NAME dev --stage prod
    python -m assistant_scripts.rollback NAME --stage prod
    python -m assistant_scripts.list_assistants
    python -m assistant_scripts.show NAME [VERSION] [--diff OTHER]
    python -m assistant_scripts.delete NAME --stage dev

A script is its arguments and what it says in the end; what it does is in `desk`.
"""
