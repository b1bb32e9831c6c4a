"""What NetworkManager's own library says of keyfiles: {path: text} as JSON in, [[path, fault], ...] as JSON out."""

import json
import sys

import gi

gi.require_version("NM", "1.0")
from gi.repository import GLib, NM  # noqa: E402


def faults_of(path, text):
    faults = []

    def on_warning(_keyfile, _connection, kind, data, _user):
        if kind == NM.KeyfileHandlerType.WARN:
            message, _severity = data.warn_get()
            faults.append(message)
            return True
        return False

    keyfile = GLib.KeyFile()
    try:
        keyfile.load_from_data(text, len(text.encode()), GLib.KeyFileFlags.NONE)
        connection = NM.keyfile_read(
            keyfile, "/etc/NetworkManager/system-connections", NM.KeyfileHandlerFlags.NONE, on_warning, None
        )
        # As the daemon does, which makes an identifier of the path.
        connection.get_setting_connection().set_property(
            NM.SETTING_CONNECTION_UUID, NM.utils_uuid_generate()
        )
        connection.normalize(None)
        connection.verify()
    except GLib.Error as error:
        faults.append(error.message)
    return [[path, fault] for fault in faults]


files = json.load(sys.stdin)
json.dump([fault for path, text in files.items() for fault in faults_of(path, text)], sys.stdout)
