"""A token becomes a `Principal`.

keys         which public keys count: the issuer's JWKS document, or a fixed set
cognito      is this token entirely in order, and whose is it?
sign_in      a user name and a password become a token of Cognito's
local_pool   a user pool of one's own, where there is no Cognito
"""
