"""A token becomes a `Principal`.

keys         which public keys count: the issuer's JWKS document, or a fixed set
signed       what is signed by a key that counts, and is still good
cognito      is this token entirely in order, and whose is it?
entra        which application of Azure's calls us?
sign_in      a user name and a password become a token of Cognito's
links        is this link to a file one of ours, and still good?
local_pool   a user pool of one's own, where there is no Cognito
"""
