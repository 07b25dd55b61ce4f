from django.db import migrations

from instances.presets import BUILT_IN


def fill(apps, schema_editor):
    """The presets of a new database; and each earlier revision learns what its instance says today."""
    preset_model = apps.get_model("instances", "Preset")
    for position, preset in enumerate(BUILT_IN):
        rest = {name: value for name, value in preset.items() if name != "slug"}
        preset_model.objects.get_or_create(slug=preset["slug"], defaults={**rest, "position": position})
    revisions = apps.get_model("instances", "Revision").objects.filter(served_name="")
    for revision in revisions.select_related("instance"):
        revision.served_name = revision.instance.served_name
        revision.restart_policy = revision.instance.restart_policy
        revision.save(update_fields=["served_name", "restart_policy"])


class Migration(migrations.Migration):
    dependencies = [("instances", "0003_deploying")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
