import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.db import migrations, models

import analytics.segments.models


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0007_definition_editor'),
        ('churnguard', '0007_exchange_rate'),
    ]

    operations = [
        migrations.CreateModel(
            name='Segment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=analytics.segments.models._segment_id, max_length=64, unique=True)),
                ('name', models.CharField(max_length=120)),
                ('slug', models.CharField(max_length=140)),
                ('description', models.TextField(blank=True, default='')),
                ('definition', models.JSONField()),
                ('version', models.IntegerField(default=1)),
                ('created_by', models.CharField(max_length=254)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('archived_at', models.DateTimeField(blank=True, null=True)),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='churnguard.organization')),
            ],
            options={
                'db_table': 'an_segment',
                'indexes': [models.Index(condition=models.Q(('archived_at__isnull', True)), fields=['due_at'], name='segment_due')],
                'constraints': [models.UniqueConstraint(models.F('organization'), django.db.models.functions.text.Lower('name'), condition=models.Q(('archived_at__isnull', True)), name='segment_name_once'), models.UniqueConstraint(condition=models.Q(('archived_at__isnull', True)), fields=('organization', 'slug'), name='segment_slug_once')],
            },
        ),
        migrations.CreateModel(
            name='SegmentDay',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('version', models.IntegerField()),
                ('counted_at', models.DateTimeField()),
                ('members', models.IntegerField()),
                ('average_score', models.FloatField(null=True)),
                ('at_risk', models.IntegerField()),
                ('mrr_minor', models.BigIntegerField()),
                ('mrr_by_currency', models.JSONField(default=dict)),
                ('entered', models.IntegerField(null=True)),
                ('left', models.IntegerField(null=True)),
                ('organization', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='churnguard.organization')),
                ('segment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='days', to='analytics.segment')),
            ],
            options={
                'db_table': 'an_segment_day',
                'constraints': [models.UniqueConstraint(fields=('segment', 'day'), name='segment_day_once')],
            },
        ),
        migrations.CreateModel(
            name='SegmentSpell',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('entered_on', models.DateField()),
                ('left_on', models.DateField(null=True)),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='churnguard.customer')),
                ('segment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='analytics.segment')),
            ],
            options={
                'db_table': 'an_segment_spell',
                'indexes': [models.Index(fields=['segment', 'entered_on'], name='segment_entered'), models.Index(condition=models.Q(('left_on__isnull', False)), fields=['segment', 'left_on'], name='segment_left')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('left_on__isnull', True)), fields=('segment', 'customer'), name='segment_spell_open')],
            },
        ),
    ]
