"""The beginnings and whole passwords that guessers try first. Small on purpose: lockout does the rest."""

from __future__ import annotations

# Short ones are here too: people repeat or pad them to reach 12 characters.
_WORDS = """
password passw0rd p@ssword p@ssw0rd pa55word passwort motdepasse contrasena contraseña senha parola haslo
qwerty qwertz azerty qwertyuiop qwerty123 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 zaq12wsx q1w2e3r4 qazwsx qazwsxedc
asdfgh asdfghjkl asdf1234 zxcvbn zxcvbnm abc123 abcd1234 abcdef abcdefgh abcdefghijkl a1b2c3d4 aa123456
123456 1234567 12345678 123456789 1234567890 12345678910 123456789012 0123456789 987654321 9876543210 123123 123123123
121212 112233 112233445566 111111 222222 333333 444444 555555 666666 777777 888888 999999 000000 654321 147258369
159753 123321 123qwe qwe123 1234qwer qwer1234 q1w2e3 admin admin123 administrator root toor superuser sysadmin
administrador changeme changeit changeme123 letmein letmein123 welcome welcome1 welcome123 default guest test test123
testing tester testtest secret topsecret mysecret secure security access master masterkey login logmein
iloveyou loveyou iloveu lovely loveme mylove princess prince sunshine sunflower rainbow butterfly flower chocolate
cookie cheese banana orange apple cherry pepper ginger monkey dragon tiger lion panther eagle falcon phoenix wolf
shadow hunter killer ninja samurai warrior wizard merlin gandalf starwars startrek skywalker superman batman spiderman
ironman pokemon pikachu naruto minecraft fortnite football baseball basketball hockey soccer futbol liverpool arsenal
chelsea barcelona realmadrid juventus yankees lakers cowboys steelers michael jordan jordan23 michelle jennifer jessica
ashley amanda daniel andrew anthony charlie thomas robert william george matthew joshua nicole samantha
summer winter spring autumn january february march april june july august september october november december
monday tuesday wednesday thursday friday saturday sunday hello helloworld hello123 goodbye trustno1 whatever nothing
freedom forever blessed jesus godisgood heaven angel computer internet google facebook linkedin twitter microsoft
windows linux ubuntu debian oracle postgres mysql database server service system network automation automesh
company office business money million dollar mustang ferrari porsche mercedes corvette harley yamaha
correcthorsebatterystaple correct-horse-battery-staple thisisapassword thisismypassword mypassword mypassword123
"""

COMMON: frozenset[str] = frozenset(word.lower() for word in _WORDS.split())
