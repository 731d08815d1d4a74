# SPDX-License-Identifier: LGPL-2.1-or-later
"""RabbitMQ as fedora-messaging uses it: where it is, how its messages look, and a connection that is made again.

`settings` reads fedora-messaging's configuration; `wire` turns messages of that bus into those of fedmsg's, and back;
`topology` says which queues there are; `link` is the connection, over which `publisher` publishes.
"""
